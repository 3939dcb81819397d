# omsub
