"""Proof: whether cleaning a data set helped. The address names it (?proof=ID)."""

import streamlit as st

from lab.ui.proof.view import draw_page

st.title("Did cleaning help?", anchor=False)
draw_page()
