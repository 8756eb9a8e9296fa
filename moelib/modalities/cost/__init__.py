"""What a mixture of experts costs at the shapes of published models, with random weights."""
