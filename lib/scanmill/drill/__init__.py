"""The drill: breaks a stack of its own in every way it knows, and counts what was lost.

It keeps its own record of every upload (`witness`), and believes nothing that the pipeline says of
itself. The pipeline that runs is the real one, over a real S3 API, in real Airflow processes; only
the program that recognizes letters is a stand-in, which reads texts that the drill put into the
pixels.
"""
