"""Storage: what the lab keeps on the disk, and what can be cleaned."""

import streamlit as st

from lab.ui.storage.view import draw_storage

st.title("Storage", anchor=False)
draw_storage()
