"""The pages that Scanmill adds to Airflow's UI: the mails it sent, the reports of its gates."""
