"""What does spendfuse itself cost, and how late can it be? Arithmetic, and no AWS."""
