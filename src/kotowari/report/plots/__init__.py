"""What the pictures of all studies share: house style, canvas, arrays checked at the door, and common pictures."""
