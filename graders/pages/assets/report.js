// The page of a report, or of a comparison.
import "./rows.js";
import "./labels.js";
import "./members.js";
