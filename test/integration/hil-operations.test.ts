import { meetEachFault, SCENARIOS } from "./hil-faults.ts";

meetEachFault(SCENARIOS.slice(0, 2));
