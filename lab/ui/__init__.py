"""The only place beside pages/ that may import streamlit."""
