"""The toy world: generated languages, two tasks in them, and tiny backbones pretrained on their text."""
