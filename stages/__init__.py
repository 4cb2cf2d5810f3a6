"""What turns a picture into text. Each stage is a module; none of them knows who runs it."""
