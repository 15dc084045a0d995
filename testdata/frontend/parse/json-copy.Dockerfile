FROM a
COPY ["a b", "c"]
ADD ["x", "y/"]
