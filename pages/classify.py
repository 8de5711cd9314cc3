"""Classify: your own pictures, an answer, and why."""

import streamlit as st

from lab.ui.entrance import require_entrance

require_entrance()
st.title("Classify", anchor=False)
