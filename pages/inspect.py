"""Inspect: where a network looks and what its layers see."""

import streamlit as st

from lab.ui.entrance import require_entrance

require_entrance()
st.title("Inspect", anchor=False)
