"""Charts as pure functions: plain histories in, plotly figures out; no torch, no streamlit."""
