// The whole C++ client.
#ifndef GRADWIRE_CLIENT_H_
#define GRADWIRE_CLIENT_H_

#include "gradwire/client/array.h"
#include "gradwire/client/client.h"
#include "gradwire/client/commands.h"
#include "gradwire/client/credentials.h"
#include "gradwire/client/error.h"
#include "gradwire/client/pipeline.h"
#include "gradwire/client/program.h"
#include "gradwire/client/session.h"

#endif  // GRADWIRE_CLIENT_H_
