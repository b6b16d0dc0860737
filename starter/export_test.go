package starter

// Unsearchable is for tests: no server of theirs forbids the list.
var Unsearchable = unsearchable
