"""The embedded stack of `./scanmill up`: S3, queue, mail and Airflow on loopback, without root."""
