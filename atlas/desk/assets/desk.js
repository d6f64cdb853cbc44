// The one script of the desk. Every form works without it.
"use strict";
