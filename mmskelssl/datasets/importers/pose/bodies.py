"""Bodies in 3D: CMU Panoptic's ``bodies`` (19 joints), Azure Kinect's ``joint_positions`` (32), Toyota Smarthome."""
from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options
from mmskelssl.datasets.importers.pose.values import frame_list, frame_number, numbers, ordered, person

PROGRAM = 'CMU Panoptic, Azure Kinect or Toyota Smarthome'
LAYOUTS = {19: 'panoptic19', 32: 'azure32', 13: 'smarthome13'}


def detects(content) -> str | None:
    if not isinstance(content, dict):
        return None
    frames = content.get('frames')
    if 'njts' in content and isinstance(frames, list):
        return 'Toyota Smarthome'
    bodies = content.get('bodies')
    if isinstance(bodies, list) and ('univTime' in content or any(
            isinstance(body, dict) and 'joints19' in body for body in bodies)):
        return 'a CMU Panoptic picture'
    if isinstance(frames, list) and any(isinstance(frame, dict) and isinstance(frame.get('bodies'), list)
                                        for frame in frames):
        return 'Azure Kinect bodies'
    return None


def read(content, options: Options, lost: Lost) -> list[Clip]:
    if 'bodies' in content:
        return [Clip([_panoptic(content['bodies'], lost)], units='m')]
    frames = []
    for i, frame in enumerate(frame_list(content, 'frames')):
        people = _smarthome(frame, f'frame {i}', lost) if 'njts' in content else _azure(frame, f'frame {i}', lost)
        frames.append((frame_number(frame), people))
    names = content.get('joint_names')  # of Azure Kinect
    names = tuple(names) if isinstance(names, list) and len(names) == 32 and all(
        isinstance(name, str) for name in names) else ()
    return [Clip(ordered(frames, lost), joints=names, units='unknown' if 'njts' in content else 'm')]


def _panoptic(bodies: list, lost: Lost) -> list:
    """Read rows x, y, z, confidence in centimetres, y down. A confidence of -1 marks a missing joint."""
    people = []
    for body in bodies:
        rows = body.get('joints19') if isinstance(body, dict) else None
        rows = numbers(rows, 'the picture').reshape(-1, 4) if isinstance(rows, list) and len(rows) == 76 else None
        track = body.get('id') if isinstance(body, dict) else None
        people.append(person(None if rows is None else (rows[:, :3] * (-.01, -.01, .01)).tolist(), 'the picture', lost,
                             None if rows is None else rows[:, 3].tolist(), track if type(track) is int else None))
    return [one for one in people if one]


def _azure(frame, what: str, lost: Lost) -> list:
    """Read millimetres, y down. The confidence levels 0 to 3 become 0 to 1."""
    people = []
    for body in frame.get('bodies') or [] if isinstance(frame, dict) else []:
        body = body if isinstance(body, dict) else {}
        rows, levels = body.get('joint_positions'), body.get('confidence_level') or body.get('joint_confidence_levels')
        rows = (numbers(rows, what) * (-.001, -.001, .001)).tolist() if _is_rows(rows, 32) else None
        levels = (numbers(levels, what) / 3).tolist() if isinstance(levels, list) and len(levels) == 32 else None
        track = body.get('body_id')
        people.append(person(rows, what, lost, levels, track if type(track) is int else None))
    return [one for one in people if one]


def _smarthome(frame, what: str, lost: Lost) -> list:
    """Read 13 joints per person: all x, then all y, then all z, in Smarthome's units."""
    people = []
    for one in frame if isinstance(frame, list) else []:
        rows = one.get('pose3d') if isinstance(one, dict) else None
        rows = numbers(rows, what) if isinstance(rows, list) and len(rows) == 39 else None
        people.append(person(None if rows is None else rows.reshape(3, 13).T.tolist(), what,
                             lost))
    return [one for one in people if one]


def _is_rows(rows, count: int) -> bool:
    return isinstance(rows, list) and len(rows) == count and all(isinstance(r, list) and len(r) == 3 for r in rows)
