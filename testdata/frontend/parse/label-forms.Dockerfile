FROM a
LABEL k v
LABEL "quoted key"="value"
LABEL a=1 b=2
