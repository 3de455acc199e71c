"""Jobs that speak, listen and take turns: whole Ringbacks on fakes of the speech services' wires."""
