from a as b
run x
env K=v
copy a b
