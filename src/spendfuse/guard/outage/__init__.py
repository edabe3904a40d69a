"""What happens while a shared store can't be reached."""
