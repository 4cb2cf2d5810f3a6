from ita_pipeline.core.errors import (
    CorruptCacheError as CorruptCacheError,
)
from ita_pipeline.core.errors import (
    ExitCode as ExitCode,
)
from ita_pipeline.core.errors import (
    MissingError as MissingError,
)
from ita_pipeline.core.errors import (
    NotCleanError as NotCleanError,
)
from ita_pipeline.core.errors import (
    UsageError as UsageError,
)
from ita_pipeline.core.errors import (
    UserError as UserError,
)
from ita_pipeline.core.errors import (
    nearest as nearest,
)
