"""Shows hostile names as the pages do, for test_names.py."""

import numpy as np
import streamlit as st

from lab.charts.labels import label_distribution
from lab.charts.series import LabelCounts
from lab.ui.words import plain
from tests.browser.test_names import NAMES

for number, name in enumerate(NAMES):
    st.caption(f"It is {plain(name)}", width="content")
    st.markdown(f"**{plain(name)}**")
    st.button(plain(name), key=f"button_{number}")
st.radio("Class", NAMES, format_func=plain)
ones = np.ones(len(NAMES), dtype=np.int64)
st.plotly_chart(label_distribution(LabelCounts(NAMES, {"train": ones})), height=700)
