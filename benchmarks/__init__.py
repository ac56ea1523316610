"""Costs of the workbook, measured as ratios within one run."""
