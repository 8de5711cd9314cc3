"""Figures as pure functions: plain histories in, plotly figures out.

Knows neither torch nor streamlit.
"""
