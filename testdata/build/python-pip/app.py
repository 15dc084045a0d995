import sys

from tabulate import tabulate

print(tabulate([sys.argv[1:]], headers=["what", "count"], tablefmt="github"))
