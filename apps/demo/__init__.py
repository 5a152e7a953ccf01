"""The demo clip: two drawn hands whose every joint is known, and the program that draws them."""
