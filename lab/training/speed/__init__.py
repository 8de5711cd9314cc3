"""What is decided by measuring: number format, compiled steps, device."""
