//! Plans, schedules and drives evacuations; serves the muster.v1 API.
