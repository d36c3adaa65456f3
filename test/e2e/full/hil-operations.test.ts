import { meetEachFault, SCENARIOS } from "../../integration/hil-faults.ts";

meetEachFault(SCENARIOS.slice(2));
