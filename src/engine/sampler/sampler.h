// The sampler: parameters, the choice of a token, and where an answer stops.
#pragma once

#include "engine/sampler/params.h"
#include "engine/sampler/sample.h"
#include "engine/sampler/stop.h"
