"""Databases that hold datasets, as plans and worker programs both ask them: sessions, SQL, versions, errors in our words."""
