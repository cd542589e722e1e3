"""The modules as players who each look after themselves: payoffs, equilibrium, price of anarchy, payments."""
