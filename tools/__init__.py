"""Scripts of the repository itself: installing, checking, reporting. Nothing of the platform imports them."""
