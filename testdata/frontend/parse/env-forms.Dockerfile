FROM a
ENV K some value
ENV Q="a b" R='c d'
