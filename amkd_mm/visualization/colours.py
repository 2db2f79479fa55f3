"""Colours of all pictures."""

# Okabe and Ito's, which people with colour blindness can tell apart.
COLOURS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#D55E00', '#56B4E9')
