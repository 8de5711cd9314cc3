"""What the lab answers over HTTP beside its pages: JSON, and one event stream for what moves."""
