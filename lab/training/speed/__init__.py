"""What makes training steps fast: number format by a trial, compiled steps, decisions in words."""
