"""The Train page's settings: form, summary, learning-rate finder."""
