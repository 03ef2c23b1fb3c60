// box
