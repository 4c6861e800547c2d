/** The version of the signing software: GV in every record, and `gatewayVersion` in the greeting. */
export const gatewayVersion = '0.1.0'

/** GI in every record: manufacturer and model of the signing system. */
export const gatewayModel = 'Wattline gateway'
