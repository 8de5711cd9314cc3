"""One network trained again and again while some knobs change."""
