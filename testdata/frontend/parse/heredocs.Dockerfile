FROM a
RUN <<EOF
one
EOF
COPY <<A <<"B" /d/
a
A
b
B
RUN after
