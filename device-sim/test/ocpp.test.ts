// Charging stations and the gateway through the programs as they ship. They mostly wait for each other, so all of it runs
// at once, in one file.
import './ocpp-adopt.ts'
import './ocpp-crowd.ts'
import './ocpp-messages.ts'
import './ocpp-quirks.ts'
