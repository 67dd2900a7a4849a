"""The report as a page: charts and a table in one HTML file that needs no network. Needs the extra `report`."""
