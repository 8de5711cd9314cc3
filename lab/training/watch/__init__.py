"""What watches a run without changing it: film strip and layer health."""
