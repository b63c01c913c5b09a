"""Where Scanmill meets Airflow: the only package that imports it."""
