"""The Data page's map: the set's pictures on a plane, alike ones together."""
