"""What the workbook costs, measured as ratios within one run."""
