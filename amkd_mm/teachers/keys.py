"""Where a config says something of a teacher, for messages."""

from typing import NamedTuple


class TeacherKeys(NamedTuple):
    """Where a config has what it says of a teacher.

    Attributes:
        member (str): Its name in a ``TeacherEnsemble``; ``''`` if it is the only one.
    """

    member: str = ''

    @property
    def title(self) -> str:
        """The teacher in words."""
        return f'the teacher {self.member!r}' if self.member else 'the teacher'

    @property
    def settings(self) -> str:
        """Key of the network's settings."""
        return f'model.teacher.members.{self.member}' if self.member else 'model.teacher'

    @property
    def checkpoint(self) -> str:
        """Key of the checkpoint."""
        return self.of('model.teacher_ckpt')

    @property
    def input_size(self) -> str:
        """Key of the size of its images."""
        return self.of('model.teacher_input_size')

    def of(self, key: str) -> str:
        """Key of the teacher's entry in a setting that has one for each member."""
        return f'{key}.{self.member}' if self.member else key


SINGLE = TeacherKeys()
