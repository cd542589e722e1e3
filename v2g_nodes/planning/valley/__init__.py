"""Overnight charging of a fleet by slot prices: each vehicle answers, the price follows (EQUATIONS 001).

One file per idea: fleet.py who charges when, cell.py what wear costs, grid_cost.py what power costs, ramps.py and
response.py how vehicles answer prices, battery_path.py keeps charge inside the battery, price_iteration.py the price,
bounds.py when it converges, consensus.py the same without a coordinator, baselines.py and central.py what it is
compared with; block.py, workers.py and plan.py put them together, stays.py makes a fleet of sessions, studies.py the
numbers of the source's figures.
"""
